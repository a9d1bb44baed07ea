"""Reference solutions that have no elementary closed form, in float64 by NumPy and SciPy alone. Its modules are:

``radial``      u_t = Δu + f(u) with radial data, on the whole domain, with an error bound.
``mean_field``  reactions and their exact flows, Gaussian averages, mean-field formula, Allen-Cahn's values.
``control``     Hamilton-Jacobi-Bellman values that need one quadrature or a scaled error function.
``pricing``     prices where money is borrowed and lent at different rates.
"""

from pdezoo.references.control import hopf_cole_coordinate, hopf_cole_l1, log_cost_value
from pdezoo.references.mean_field import (
    ALLEN_CAHN,
    ALLEN_CAHN_VALUES,
    HEAT,
    SINE,
    Reaction,
    Value,
    allen_cahn_mean,
    allen_cahn_mean_field,
    gaussian_average,
    initial_value,
    mean_field,
)
from pdezoo.references.pricing import DIFFERENT_RATES_VALUES, different_rates_price, linear_price
from pdezoo.references.radial import RadialReference, radial_solution

__all__ = [
    "ALLEN_CAHN",
    "ALLEN_CAHN_VALUES",
    "DIFFERENT_RATES_VALUES",
    "HEAT",
    "SINE",
    "RadialReference",
    "Reaction",
    "Value",
    "allen_cahn_mean",
    "allen_cahn_mean_field",
    "different_rates_price",
    "gaussian_average",
    "hopf_cole_coordinate",
    "hopf_cole_l1",
    "initial_value",
    "linear_price",
    "log_cost_value",
    "mean_field",
    "radial_solution",
]
