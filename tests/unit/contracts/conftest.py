"""Property tests here run without a deadline: a busy machine is no failure."""

import hypothesis

hypothesis.settings.register_profile("factory", deadline=None)
hypothesis.settings.load_profile("factory")
