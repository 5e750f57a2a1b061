"""GridFS: files of any size in two collections, one of files and one of chunks. Loaded when it is first used.

========  ===========================================================================
module    what it is for
========  ===========================================================================
chunks    what the chunks of a file must look like, and how they are encoded; pure
files     what the document of a file must look like; revisions; indexes; pure
sources   where the bytes of an upload come from, and where those of a download go
store     the two collections, and the commands on them that several calls share
upload    ``GridIn``, the stream that a file is written to
ahead     fetching ahead of what is used
download  ``GridOut``, the stream that a file is read from
cursor    ``GridOutCursor``, the files that match a query
bucket    ``GridFSBucket``
========  ===========================================================================

Only the handles of ``client`` are used: databases, collections, sessions and cursors, and ``client.lasting`` for what
lasts longer than one call. GridFS specification.
"""
