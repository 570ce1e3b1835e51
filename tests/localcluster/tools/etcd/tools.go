//go:build tools

// Package tools keeps the commands we build in go.mod.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
)
