"""Kinds of pictures, a file each: a class derived from :class:`xaionnx.render.picture.PictureKind`."""
