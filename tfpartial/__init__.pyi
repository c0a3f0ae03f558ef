# The public names, read by lazy_loader and by type checkers.
from .config.experiment import Experiment as Experiment
from .config.load import load_experiment as load_experiment
from .data.pipeline import build_training_dataset as build_training_dataset
from .errors import InputError as InputError
from .inference.trained_run import TrainedRun as TrainedRun
from .inference.trained_run import load_run as load_run
from .labels import Label as Label
from .labels import LabelSpace as LabelSpace
from .labels import candidate_table as candidate_table
from .losses import Reduction as Reduction
from .losses import Term as Term
from .losses import candidate_cross_entropy as candidate_cross_entropy
from .losses import candidate_soft_dice as candidate_soft_dice
from .losses import consistency as consistency
from .losses import consistency_term as consistency_term
from .losses import soft_dice_term as soft_dice_term
from .losses import supervised_term as supervised_term
from .losses import weight_penalty_term as weight_penalty_term
from .losses import weighted_sum as weighted_sum
from .metrics.groups import structures_of as structures_of
from .metrics.overlap import dice as dice
from .metrics.overlap import volume_ml as volume_ml
from .metrics.surface import hd95_mm as hd95_mm
from .metrics.surface import nsd as nsd
from .metrics.surface import surface_distances as surface_distances
from .models.build import build_network as build_network
from .records.store import RecordStore as RecordStore
from .records.store import open_records as open_records
from .scans import Volume as Volume
from .scans import read_image as read_image
from .scans import read_labels as read_labels
from .scans import write_volume as write_volume
from .training.mean_teacher import MeanTeacher as MeanTeacher

__version__: str
