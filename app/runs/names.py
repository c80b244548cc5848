"""What pages call the kind, status and priority of a run, for the catalogue; rows and JSON keep the English words.

Shown by `_(run.status)`, `_(run.kind)`.
"""

from app.language import N_

KINDS = (N_("pretrain"), N_("finetune"), N_("blend"), N_("elsewhere"))
STATUSES = (N_("queued"), N_("running"), N_("finished"), N_("failed"), N_("cancelled"))
PRIORITY_NAMES = (N_("urgent"), N_("normal"), N_("low"))
