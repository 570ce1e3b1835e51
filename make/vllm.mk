# The backend vllm against vLLM itself, built for CPUs: in an environment of its own, since vLLM asks
# for other versions of torch and transformers than the locks have. It takes 6 GB, of which most are
# libraries for GPUs that come with torch.
VLLM := $(HOME)/.cache/lepton/vllm
VLLM_TESTS := tests/component/worker/vllm

.PHONY: test-vllm
test-vllm: $(VLLM)/.installed  ## The backend vllm, with a vLLM for CPUs (minutes on the first run; not part of test)
	PYTHONPATH=$(CURDIR)/worker:$(CURDIR)/protos:$(CURDIR)/tests/support \
	  $(VLLM)/bin/python -m pytest $(VLLM_TESTS) --confcutdir=$(VLLM_TESTS) -q $(ARGS)

$(VLLM)/.installed: requirements/vllm.txt
	@echo "==> Python environment with vLLM in $(VLLM)"
	@test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/pip install --quiet --no-deps --requirement requirements/vllm.txt
	@touch $@
