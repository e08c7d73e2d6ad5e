"""What is known of the kinds of nodes: which load files, which are filled by name, which the cloud cannot run. Data.

Sources: the ComfyUI connector (`nodes/io.py`, `nodes/loader.py`, `routes.py`), and ComfyUI's own nodes.
"""

from collections.abc import Mapping

from worker.jobs.job import FileKind

# Kind of node -> its input that names a file of the machine, and the kind of that file. fal's server puts a URL there.
FILES: Mapping[str, tuple[str, FileKind]] = {
    "LoadImage": ("image", "image"),
    "VHS_LoadVideo": ("video", "video"),
    "VHS_LoadVideoPath": ("video", "video"),
    "LoadAudio": ("audio", "audio"),
    "VHS_LoadAudioUpload": ("audio", "audio"),
    "VHS_LoadAudio": ("audio_file", "audio"),
}
# Kind of node -> its input that is a URL, and the kind of the file there.
URLS: Mapping[str, tuple[str, FileKind]] = {
    "LoadImageFromURL_fal": ("url", "image"),
    "RemoteLoraLoader_fal": ("lora_url", "weights"),
    "RemoteCheckpointLoader_fal": ("ckpt_url", "weights"),
}
# Kind of node -> its input that is filled by name.
VALUES: Mapping[str, str] = {
    "StringInput_fal": "value",
    "IntegerInput_fal": "number",
    "FloatInput_fal": "number",
    "BooleanInput_fal": "value",
}
_EDITOR = "exists only in ComfyUI's editor: export the workflow with 'Save (API Format)'"
_FOLDER = "reads a folder of the machine that it runs on, which the cloud does not have: load each file with {}"
# Kind of node -> why fal's server cannot run it.
IMPOSSIBLE: Mapping[str, str] = {
    "Note": _EDITOR,
    "MarkdownNote": _EDITOR,
    "PrimitiveNode": _EDITOR,
    "Reroute": _EDITOR,
    "LoadImageMask": "its file is not uploaded: use the mask output of LoadImage",
    "LoadImageOutput": "reads the output folder of this machine: use LoadImage",
    "LoadLatent": "its file is not uploaded: save the picture, and encode it with VAEEncode",
    "LoadImageSetFromFolderNode": _FOLDER.format("LoadImage"),
    "LoadImageTextSetFromFolderNode": _FOLDER.format("LoadImage"),
    "VHS_LoadImages": _FOLDER.format("LoadImage"),
    "VHS_LoadImagesPath": _FOLDER.format("LoadImage"),
}
