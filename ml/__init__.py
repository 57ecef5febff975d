"""What is learned: personas, propensities, who is who. Frames in, frames out; no files, no database, no Dagster."""

import os

# Threads of scikit-learn that wait for each other sleep. By default they spin: on a busy machine of two cores, 150
# trees on 200,000 rows took 43 CPU seconds with two spinning threads and 5 with one; two sleeping ones take 5 as well.
# It is read when scikit-learn is loaded, which no module does before this one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
