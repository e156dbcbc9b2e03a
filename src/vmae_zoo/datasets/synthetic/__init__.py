"""Small labelled video data sets, made from arrays that anyone can have; each module is a command.

=================  ==================================================================================
`moving_digits`    digits that move over the frame, with digit labels and motion labels
`silhouettes`      sequences of person masks as videos, with a split for each subject left out
=================  ==================================================================================
"""
