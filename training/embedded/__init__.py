"""The stages of training the embedded model: autoencoder, transformer, distillation, joint."""
