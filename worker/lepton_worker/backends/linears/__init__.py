"""Linear layers with other kernels than torch's, and adapters on top of any of them.

`install.install_linears` chooses and puts kernels in, `lora.Adapters` holds adapters.
"""
