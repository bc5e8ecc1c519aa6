"""From photos to aligned faces and back: landmarks, the FFHQ crop, pasting; see docs/photo.md."""
