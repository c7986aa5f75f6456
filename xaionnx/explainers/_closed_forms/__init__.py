"""What methods with a closed form share: values that ordinary ops compute."""
