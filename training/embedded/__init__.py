"""The stages that train the embedded model: autoencoder, transformer, distillation, all together."""
