"""Python's own audit events in the child: what a student's code reaches for is refused, and named.

A hook cannot be taken out again. It knows whose act an event is by the innermost frame that is neither
the standard library's nor torch's. Code that goes around Python itself is not seen here; the system
call filter and the sandbox still hold for it.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from common.catalogue import ROOT

_NEVER = {
    "os.system": "starts a program",
    "os.exec": "starts a program",
    "os.posix_spawn": "starts a program",
    "os.spawn": "starts a program",
    "os.startfile": "starts a program",
    "subprocess.Popen": "starts a program",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "pty.spawn": "forks",
    "os.kill": "sends a signal",
    "os.killpg": "sends a signal",
    "signal.pthread_kill": "sends a signal",
    "socket.__new__": "uses the network",
    "socket.connect": "uses the network",
    "socket.getaddrinfo": "uses the network",
    "_thread.start_new_thread": "starts a thread",
    "gc.get_objects": "searches the memory of the process",
    "gc.get_referrers": "searches the memory of the process",
    "gc.get_referents": "searches the memory of the process",
    "sys._current_frames": "looks at the frames of the grader",
    "sys._current_exceptions": "looks at the frames of the grader",
    "sys.settrace": "traces the grader",
    "sys.setprofile": "traces the grader",
    "sys.addaudithook": "listens to audit events",
    "code.__new__": "makes code objects by hand",
    "function.__new__": "makes functions by hand",
    "ctypes.dlopen": "reaches under Python with ctypes",
    "ctypes.dlsym": "reaches under Python with ctypes",
    "ctypes.dlsym/handle": "reaches under Python with ctypes",
    "ctypes.cdata": "reaches under Python with ctypes",
    "ctypes.cdata/buffer": "reaches under Python with ctypes",
    "ctypes.string_at": "reaches under Python with ctypes",
    "ctypes.wstring_at": "reaches under Python with ctypes",
    "ctypes.call_function": "reaches under Python with ctypes",
    "ctypes.PyObj_FromPtr": "reaches under Python with ctypes",
    "resource.prlimit": "changes the limits of a process",
    "syslog.openlog": "writes to the system log",
    "sqlite3.connect": "opens a database",
}
_PATHS = {
    "open", "os.listdir", "os.scandir", "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link",
    "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.chdir", "os.utime", "os.walk",
    "shutil.rmtree", "shutil.copyfile", "shutil.move", "glob.glob",
}  # fmt: skip
_FRAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}
_CODE = {"__code__", "__defaults__", "__kwdefaults__"}
_HARNESS = ("common.", "pytest", "_pytest", "pluggy", "ctypes", "_ctypes", "cffi", "faulthandler")
_OTHERS = {"import", "sys._getframe", "object.__getattr__", "object.__setattr__", "object.__delattr__",
           "compile"}  # fmt: skip
_READABLE = (
    "/dev/null",
    "/proc/sys/kernel/random/boot_id",
    "/dev/urandom",
    "/etc/localtime",
    "/usr/share/zoneinfo/",
)


class Refused(PermissionError):
    """Something that no solution needs and a graded one may not do."""


def install(workplace: Path, tell: Callable[[str], None]) -> None:
    """From now on, for good.

    Args:
        workplace: the one folder that the code may read and write.
        tell: is given what was tried, in words, before it is refused.
    """
    frame_of, look = sys._getframe, os.lstat
    paths = sysconfig.get_paths()
    libraries = tuple(
        {paths[k].rstrip("/") + "/" for k in ("stdlib", "platstdlib", "purelib", "platlib")}
    )
    trusted = tuple(f"{ROOT}/{name}/" for name in ("common", "problems"))
    neutral = (*libraries, f"{ROOT}/solutions/", "<frozen ", "<__array_function__")
    archive = (
        f"{paths['stdlib'].rpartition('/')[0]}/python{sys.version_info[0]}{sys.version_info[1]}.zip"
    )
    formal = tuple(
        f"{folder}{name}"
        for folder in libraries
        for name in ("inspect.py", "traceback.py", "logging/")
    )
    importer = "<frozen importlib._bootstrap"
    own = str(workplace) + "/"
    asked = tuple(name.rstrip(".") + "." for name in _HARNESS)
    known = frozenset((*_NEVER, *_PATHS, *_OTHERS))
    busy = [False]

    def students(depth: int, *, imports_too: bool = False) -> bool:
        """Whether the innermost frame that does something of its own is the student's.

        Args:
            imports_too: count what a library does while it is imported for the student.
        """
        frame = frame_of(depth)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(trusted) or (name.startswith(importer) and not imports_too):
                return False
            if not name.startswith(neutral):
                return True
            frame = frame.f_back
        return False

    def path_allowed(path: object, event: str, mode: object, flags: object) -> bool:
        if type(path) is bytes:
            path = path.decode("utf-8", "replace")
        if type(path) is not str:
            return False
        if "/../" in path or path.startswith("../") or path.endswith("/.."):
            return False
        writes = (type(mode) is str and any(c in mode for c in "wax+")) or (
            type(flags) is int and flags & 3 != 0
        )
        if not path.startswith("/") or path.startswith(own) or path + "/" == own:
            return event not in ("os.symlink", "os.link")
        if event not in ("open", "os.listdir", "os.scandir", "os.walk", "glob.glob"):
            return False
        if writes:
            return path == "/dev/null"
        readable = path.startswith((*libraries, *_READABLE, archive))
        return readable or (path + "/").startswith(libraries)

    def looks_in_vain(path: object, event: str) -> bool:
        """Whether a library looks for settings of its own that are not there: then it learns just that."""
        if event != "open" or not frame_of(3).f_code.co_filename.startswith(libraries):
            return False
        try:
            look(str(path))
        except FileNotFoundError:
            return True
        except (OSError, ValueError):
            pass
        return False

    def judge(event: str, args: tuple[object, ...]) -> str:
        if event in _NEVER:
            return _NEVER[event] if students(3) else ""
        if event in _PATHS:
            path = args[0] if args else ""
            mode, flags = (args[1], args[2]) if event == "open" and len(args) > 2 else (None, None)
            if path_allowed(path, event, mode, flags) or not students(3, imports_too=True):
                return ""
            if looks_in_vain(path, event):
                return ""
            return f"{event.removeprefix('os.')} {str(path)[:120]}"
        if event == "import":
            name = str(args[0])
            return f"imports {name[:60]}" if (name + ".").startswith(asked) and students(3) else ""
        direct = frame_of(2)
        while direct.f_code.co_filename.startswith(formal) and direct.f_back is not None:
            direct = direct.f_back  # who asks through inspect or traceback asks for itself
        library = direct.f_code.co_filename.startswith((*trusted, *neutral))
        if event == "sys._getframe":
            return "" if library else "looks at the frames of the grader"
        if event == "object.__getattr__":
            frames = len(args) > 1 and args[1] in _FRAMES and not library
            return "looks at the frames of the grader" if frames else ""
        if event in ("object.__setattr__", "object.__delattr__") and args[1] in _CODE:
            return "" if library else "rewrites a function"
        if event == "compile" and len(args) > 1:
            forged = str(args[1]).startswith((*trusted, *neutral))
            return "passes its code off as a library's" if forged and not library else ""
        return ""

    def hook(event: str, args: tuple[object, ...]) -> None:
        if busy[0] or event not in known:
            return
        busy[0] = True
        try:
            found = judge(event, args)
            if found:
                tell(found)
        finally:
            busy[0] = False
        if found:
            raise Refused(f"a graded solution may not do this: it {found}")

    sys.addaudithook(hook)
