"""The web page: masks, reconstructions and features of a video, live (needs the extra ``app``)."""
