{{/* What the schema of the values cannot say, each with a remedy. */}}

{{- define "lepton.checks" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is not set: give the image of the operator, such as --set image.repository=REGISTRY/lepton-operator (built from Dockerfile.operator)" -}}
{{- end -}}
{{- if not .Values.worker.image.repository -}}
{{- fail "worker.image.repository is not set: give the image of the workers, such as --set worker.image.repository=REGISTRY/lepton-worker (built from Dockerfile.worker)" -}}
{{- end -}}
{{- if and .Values.metrics.tls.external (not .Values.metrics.tls.secretName) -}}
{{- fail "metrics.tls.external is true, but metrics.tls.secretName is empty: name the Secret that holds ca.crt, tls.crt and tls.key" -}}
{{- end -}}
{{- if and (not .Values.operator.serviceAccount.create) (not .Values.operator.serviceAccount.name) -}}
{{- fail "operator.serviceAccount.create is false, but operator.serviceAccount.name is empty: name the ServiceAccount to use" -}}
{{- end -}}
{{- if and (not .Values.metrics.serviceAccount.create) (not .Values.metrics.serviceAccount.name) -}}
{{- fail "metrics.serviceAccount.create is false, but metrics.serviceAccount.name is empty: name the ServiceAccount to use" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PodMonitor")) -}}
{{- fail "podMonitor.enabled is true, but this cluster does not serve PodMonitor (monitoring.coreos.com/v1): install the Prometheus operator first, or set podMonitor.enabled=false" -}}
{{- end -}}
{{- if .Values.metrics.enabled -}}
{{- include "lepton.checks.foreignMetricsAPI" . -}}
{{- end -}}
{{- end -}}

{{/* The API server knows one owner of a group and version; taking it over would break the autoscalers of its users. */}}
{{- define "lepton.checks.foreignMetricsAPI" -}}
{{- $name := "v1beta1.external.metrics.k8s.io" -}}
{{- $found := lookup "apiregistration.k8s.io/v1" "APIService" "" $name -}}
{{- if $found -}}
{{- $notes := default dict $found.metadata.annotations -}}
{{- $release := get $notes "meta.helm.sh/release-name" -}}
{{- $namespace := get $notes "meta.helm.sh/release-namespace" -}}
{{- if not (and (eq $release .Release.Name) (eq $namespace .Release.Namespace)) -}}
{{- $service := default dict $found.spec.service -}}
{{- $by := ternary (printf ", installed by release %s in namespace %s" $release $namespace) "" (ne $release "") -}}
{{- fail (printf "external.metrics.k8s.io is already served by Service %s in namespace %s (APIService %s%s), and a cluster can have one such server. Remove that one first, or set metrics.enabled=false: models then keep the number of workers they have until something else scales them" (get $service "name") (get $service "namespace") $name $by) -}}
{{- end -}}
{{- end -}}
{{- end -}}
