"""Which initialization carries a signal through a deep network: theory and measurement."""

from jaxinit.signal.critical import CriticalPoint as CriticalPoint
from jaxinit.signal.critical import critical_line as critical_line
from jaxinit.signal.critical import critical_points as critical_points
from jaxinit.signal.critical import doubly_critical_points as doubly_critical_points
from jaxinit.signal.fixed import FixedPoint as FixedPoint
from jaxinit.signal.fixed import MeanField as MeanField
from jaxinit.signal.fixed import fixed_points as fixed_points
from jaxinit.signal.fixed import mean_field as mean_field
from jaxinit.signal.maps import Moments as Moments
from jaxinit.signal.maps import correlation_map as correlation_map
from jaxinit.signal.maps import length_map as length_map
from jaxinit.signal.maps import moments as moments
from jaxinit.signal.network import QUANTITIES as QUANTITIES
from jaxinit.signal.network import Network as Network
from jaxinit.signal.predict import predict as predict
from jaxinit.signal.result import Band as Band
from jaxinit.signal.result import Prediction as Prediction
from jaxinit.signal.result import Result as Result
from jaxinit.signal.result import from_json as from_json
from jaxinit.signal.result import to_json as to_json
from jaxinit.signal.schemes import Scheme as Scheme
from jaxinit.signal.schemes import scheme as scheme
from jaxinit.signal.study import study as study
