"""Pictures that should not be trained on: the survey, the suspects and what gives them away."""
