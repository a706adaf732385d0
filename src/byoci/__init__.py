"""byoci, Build Your Own CI: the exact commit that was tested, sealed off, is the commit that lands."""

# Nothing is imported here, so that what starts often starts quickly (`byoci.worker.guard`).
__version__ = "2.0.0.dev0"
