"""A store on this machine: the API's behaviour over a real socket, with faults on request.

Written from the official description and what is publicly known, and not from imagepipe's own
client, so that it disagrees with a wrong one. Where the description leaves a choice, the stricter
behaviour was taken, as far as a correct client can live with it:

- 401 is plain text and 415 is HTML; all other errors are the v3 error body.
- A parameter or filter that the API does not know is 422; one that it knows and the sandbox does
  not have is 501, as is any other path or method.
- An image of more than 8,000,000 bytes is 422; a body of more than 10,000,000 is 413, before it is read.
- `include=images` shows ten images of a product at most; a listing shows them all, by id.
- In a form, `is_thumbnail` is exactly `true` or `false`, and `sort_order` is digits; `True` and `1.0` are 422.
- An image that an update puts further back moves those at and behind its new place by one.
- A product with images has one thumbnail: it is moved, never taken off; deleting it passes it on.
- Deleting an image that is not there is 404. An update with a new image is 501.
- Ids rise over the whole store and are never used again. A missing `sort_order` is 0.
- A client that is still sending a body that is refused gets its answer first, and then the connection is closed.
"""

from imagepipe.sandbox.sandbox import Request, Sandbox
from imagepipe.sandbox.state import Image, Product

__all__ = ["Image", "Product", "Request", "Sandbox"]
