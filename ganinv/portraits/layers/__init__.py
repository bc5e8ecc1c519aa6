"""The things a portrait is made of, one file each, drawn back to front by `ganinv.portraits.renderer`."""
