"""Does it help perception? Small networks trained on renders, realized frames and photographs."""
