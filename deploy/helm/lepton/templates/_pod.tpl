{{/* What the pods of the operator and of the metrics API have in common. */}}

{{/* Environment of both processes. */}}
{{- define "lepton.environment" -}}
- name: LEPTON_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: LEPTON_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: LEPTON_LOG_LEVEL
  value: {{ .Values.log.level | quote }}
- name: LEPTON_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
- name: LEPTON_HEALTH_PORT
  value: "8080"
- name: LEPTON_METRICS_SERVICE
  value: {{ include "lepton.metrics.name" . | quote }}
{{- end -}}

{{/* Where the pod may run and as whom: (list $ values of the part). */}}
{{- define "lepton.pod" -}}
{{- $root := first . -}}{{- $part := last . -}}
{{- /* A Service named lepton-metrics would otherwise set LEPTON_METRICS_PORT, which is a setting. */ -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "lepton.container" -}}
{{- $root := first . -}}{{- $part := last . -}}
image: {{ include "lepton.image" (list $root $root.Values.image) | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml $part.resources | nindent 2 }}
{{- end -}}

{{/* A process that hangs is started again; one that cannot do its work yet is only not ready. */}}
{{- define "lepton.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  initialDelaySeconds: 2
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}
