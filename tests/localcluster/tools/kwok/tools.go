//go:build tools

// Package tools keeps the commands we build in go.mod.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
