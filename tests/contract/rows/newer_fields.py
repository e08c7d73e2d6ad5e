"""The names that the version before does not know, with the reason why that is safe.

A key is a name as `row_names.names_of` makes it. A value says what happens when the version before writes the row
again: how the field survives, or why nothing breaks without it.
"""

from collections.abc import Mapping

NEWER: Mapping[str, str] = {
    "key ended": "Counters of ended jobs, for the metrics. A job that the version before ends is not counted.",
    "field version of a hash": "The version of rows that wrote it. The version before does not read it, and it stays 1 "
    "until a field is added whose loss does harm.",
    "key sends": "How much of its share a tenant has sent. It expires within seconds; the version before knows no shares.",
    "key share": "How much of its share a tenant has used. It expires within seconds; the version before knows no shares.",
    "key spare": "The rows beyond their tenant's share. Each is also due a minute later: there the version before claims "
    "it. A row that it has claimed is removed from here when this version sees it.",
    "key bad": "The rows that were set aside. It has an expiry; the version before never reads it.",
    "Job.folder": "The random part of the keys of the job's files, after the days that they are kept. Without it the hash of id and creation time is used: a file "
    "may be stored twice, and both copies are under the job's tenant.",
    "Options.duplicates": "Whether a lost submission is made again. The version before makes it again once, whatever the "
    "option says. After it has written the row, this version decides by the price, as for a job without the option.",
    "Options.duplicates=allow": "See Options.duplicates: the field is ignored, so no row is unreadable because of it.",
    "Options.duplicates=never": "See Options.duplicates: the field is ignored, so no row is unreadable because of it.",
    "signal outcome:N": "What an attempt without a ticket led to. The version before keeps the signal until the ending "
    "and does not read it: it decides about the lost call as it always did.",
    "Job.resent_at": "When a worker last sent the message again. Without it the first sending counts, so a message that "
    "waits may be sent once more; a second message of a job does no harm.",
    "header kilnhand_sent": "When a message was sent. A worker of the version before does nothing with it, and sends "
    "messages without it; such a message is not found in its queue, and may be sent once more.",
    "header kilnhand_callbacks": "The queue for callbacks of a backend that name none. The version before keeps it as any "
    "header and does not read it: it sends them to its own default queue, as it always did.",
    "key claimed": "The claims of one call, for its repetition. It lives as long as a lease; the version before does not "
    "repeat a claim and never reads the key.",
    "key run": "The job that a run belongs to. The version before does not write it, so a lost call with the same input "
    "may take such a run, as it always could there.",
    "key cancelled": "A cancel that came before its row. It has an expiry. If the version before writes the row, it does "
    "not read the note, and the job runs as it always did there; a producer or a worker of this version reads it.",
    "Cost.lower_usd": "The least that may be billed. Without it the least is 0, unless the cost is exact: then the sum itself.",
    "Cost.upper_usd": "The most that may be billed. Without it an estimate counts as unknown, which is above every limit.",
    "Options.max_usd": "The most that the job may cost. The version before knows no limit, and drops it when it writes the "
    "row: it is set once all workers are of this version.",
    "Receipt.total_cost": "What all attempts of a cancelled job cost. Without it the caller reads the cost of the last one.",
    "Options.reuse_s": "The age of a finished run that the job takes. Without it the job shares a run that is under way.",
    "key equal": "The newest run of equal requests. It has an expiry; the version before knows no shared runs.",
    "signal run_of": "The run that a job has a part in. The version before has no provider for such a row, and leaves it to "
    "this version.",
    "signal joined:": "A job that has a part in a run. The version before keeps it until the ending and does not read it.",
    "signal left:": "A job that has left a run. The version before keeps it until the ending and does not read it.",
    "signal step:": "A step of a pipeline that was begun, with its task. The version before keeps the signal until the ending "
    "and does not read it; it has no provider for pipelines, so it leaves such a row to this version.",
    "signal step_ended:": "A hint that a step has ended. A pipeline looks at its steps without it, too.",
    "header kilnhand_step_of": "The pipeline and the name of a step. A worker of the version before keeps it as any header "
    "and does not read it: the pipeline sees the step's end at its next look.",
    "Piece.as_found": "Whether a file is verified and named by what its bytes are. Without it the file is stored unread, under "
    "the ending of its name.",
    "Step.files=file": "A file of any kind in the arguments of `generation.run`. The version before does not have the task: it "
    "sets the row aside, and this version takes it.",
    "Piece.duration_s": "The length of a video. Without it a video of another length passes.",
    "Piece.sound": "Whether a video must have a sound track. Without it a silent one passes.",
    "Piece.fewest": "The fewest files that are enough. Without it an answer with fewer files than `count` fails the job.",
    "Step.facts": "What a check of input files has found, for the check of the answer. Without it boxes and points come "
    "normalised only, not in pixels.",
    "Artefact.has_sound": "Whether a video has sound. Without it the result does not say it.",
    "Artefact.poster_key": "The key of a video's poster. Without it the result does not name the poster, which is stored.",
    "Piece.transparent": "Whether the picture must have an alpha channel. Without it an opaque picture passes.",
    "Piece.most_megapixels": "The largest picture that is decoded for it. Without it the worker's own limit counts.",
}
