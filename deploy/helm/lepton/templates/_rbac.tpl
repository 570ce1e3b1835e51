{{/* Rights, cluster-wide or in each watched namespace. The rules carry a reason per verb: keep it so. */}}

{{/* Binds rules for namespaced kinds: (list $ part rules). */}}
{{- define "lepton.rights" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}{{- $rules := index . 2 -}}
{{- $name := include (printf "lepton.%s.name" $part) $root -}}
{{- $labels := include "lepton.labels" (list $root $part) -}}
{{- $subject := dict "kind" "ServiceAccount" "name" (include (printf "lepton.%s.serviceAccount" $part) $root) "namespace" $root.Release.Namespace -}}
{{- range $namespace := default (list "") $root.Values.watchNamespaces }}
{{- $prefix := ternary "" "Cluster" (ne $namespace "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}Role
metadata:
  name: {{ $name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}RoleBinding
metadata:
  name: {{ $name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $prefix }}Role
  name: {{ $name }}
subjects:
  - {{ toYaml $subject | indent 4 | trim }}
{{- end }}
{{- end -}}
