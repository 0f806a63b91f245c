"""Who is at the keyboard, for the audit trail."""

import os


def who() -> str:
    """Give the person's account: the one behind sudo, if there is one."""
    named = os.environ.get("SUDO_USER")
    if named:
        return named
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
