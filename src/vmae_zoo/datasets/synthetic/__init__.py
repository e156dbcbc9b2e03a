"""Small labeled video data sets: the embedded ones (`embedded`), and two made from arrays, each by a command.

=================  ==================================================================================
`moving_digits`    digits that move over the frame, with digit labels and motion labels
`silhouettes`      sequences of person masks as videos, with a split for each subject left out
=================  ==================================================================================
"""
