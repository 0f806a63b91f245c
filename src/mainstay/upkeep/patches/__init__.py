"""The job `security_patches`: updates of packages, holes in Python environments and images, versions that ran out."""
