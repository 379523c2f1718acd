"""The stages that train the embedded model: autoencoder, transformer, distillation, joint."""
