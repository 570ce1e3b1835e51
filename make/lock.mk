# Locks: exact versions with hashes, written by pip-tools and committed. `test.txt` is resolved first
# and constrains the images, so that tests and images run the same versions. `constraints.txt` is the
# same without hashes: for torch, of which each kind of hardware has its own build.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet \
	--strip-extras --allow-unsafe --generate-hashes \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: lock lock-upgrade
lock:  ## Write the locks in requirements/ after a change in pyproject.toml
	$(COMPILE) $(LOCK_FLAGS) --extra operator --extra worker --extra dev \
		--output-file requirements/test.txt pyproject.toml requirements/build.in
	$(COMPILE) --constraint requirements/test.txt --extra operator \
		--output-file requirements/operator.txt pyproject.toml
	$(BIN)/python requirements/without_torch.py | $(COMPILE) --constraint requirements/test.txt \
		--output-file requirements/worker.txt -
	$(COMPILE) --output-file requirements/build.txt requirements/build.in
	grep -o '^[a-zA-Z0-9._-]*==[^ ]*' requirements/test.txt > requirements/constraints.txt

lock-upgrade:  ## Write the locks with the newest versions that pyproject.toml allows
	$(MAKE) lock LOCK_FLAGS=--upgrade
