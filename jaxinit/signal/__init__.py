"""Which initialization carries a signal through a deep network: theory and measurement."""

from jaxinit.signal.asserts import assert_kept as assert_kept
from jaxinit.signal.asserts import assert_predicted as assert_predicted
from jaxinit.signal.autoinit import autoinit as autoinit
from jaxinit.signal.lsuv import lsuv as lsuv
from jaxinit.signal.recommend import Choice as Choice
from jaxinit.signal.recommend import Recommendation as Recommendation
from jaxinit.signal.recommend import recommend as recommend
from jaxinit.signal.studies.bands import Band as Band
from jaxinit.signal.studies.jacobian import (
    jacobian_singular_values as jacobian_singular_values,
)
from jaxinit.signal.studies.measures import QUANTITIES as QUANTITIES
from jaxinit.signal.studies.model_study import study_model as study_model
from jaxinit.signal.studies.network import Network as Network
from jaxinit.signal.studies.prediction import predict as predict
from jaxinit.signal.studies.result import Prediction as Prediction
from jaxinit.signal.studies.result import Result as Result
from jaxinit.signal.studies.results_file import from_json as from_json
from jaxinit.signal.studies.results_file import to_json as to_json
from jaxinit.signal.studies.resume import run_studies as run_studies
from jaxinit.signal.studies.schemes import Scheme as Scheme
from jaxinit.signal.studies.schemes import scheme as scheme
from jaxinit.signal.studies.study import Study as Study
from jaxinit.signal.studies.study import study as study
from jaxinit.signal.studies.width_study import WidthStudy as WidthStudy
from jaxinit.signal.studies.width_study import width_study as width_study
from jaxinit.signal.tailor import Tailored as Tailored
from jaxinit.signal.tailor import tailor as tailor
from jaxinit.signal.theory.critical import CriticalPoint as CriticalPoint
from jaxinit.signal.theory.critical import critical_line as critical_line
from jaxinit.signal.theory.critical import critical_points as critical_points
from jaxinit.signal.theory.critical import (
    doubly_critical_points as doubly_critical_points,
)
from jaxinit.signal.theory.maps import Moments as Moments
from jaxinit.signal.theory.maps import correlation_map as correlation_map
from jaxinit.signal.theory.maps import length_map as length_map
from jaxinit.signal.theory.maps import moments as moments
from jaxinit.signal.theory.mean_field import FixedPoint as FixedPoint
from jaxinit.signal.theory.mean_field import MeanField as MeanField
from jaxinit.signal.theory.mean_field import fixed_points as fixed_points
from jaxinit.signal.theory.mean_field import mean_field as mean_field
from jaxinit.signal.theory.phase import PhaseDiagram as PhaseDiagram
from jaxinit.signal.theory.phase import phase_diagram as phase_diagram

__all__ = [
    "QUANTITIES",
    "Band",
    "Choice",
    "CriticalPoint",
    "FixedPoint",
    "MeanField",
    "Moments",
    "Network",
    "PhaseDiagram",
    "Prediction",
    "Recommendation",
    "Result",
    "Scheme",
    "Study",
    "Tailored",
    "WidthStudy",
    "assert_kept",
    "assert_predicted",
    "autoinit",
    "correlation_map",
    "critical_line",
    "critical_points",
    "doubly_critical_points",
    "fixed_points",
    "from_json",
    "jacobian_singular_values",
    "length_map",
    "lsuv",
    "mean_field",
    "moments",
    "phase_diagram",
    "predict",
    "recommend",
    "run_studies",
    "scheme",
    "study",
    "study_model",
    "tailor",
    "to_json",
    "width_study",
]
