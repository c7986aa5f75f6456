"""Kinds of pictures, one per file: a class derived from :class:`xaionnx.render.picture.PictureKind`."""
