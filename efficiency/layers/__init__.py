"""What networks are built of, whatever their domain, each in the formulation that suits the platform."""
