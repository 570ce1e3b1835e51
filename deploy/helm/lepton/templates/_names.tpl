{{/* Names and labels that several manifests share. */}}

{{/* Short enough that every suffix still fits into 63 characters. */}}
{{- define "lepton.fullname" -}}
{{- $name := default .Release.Name .Values.fullnameOverride -}}
{{- if and (not .Values.fullnameOverride) (not (contains "lepton" $name)) -}}
{{- $name = printf "%s-lepton" $name -}}
{{- end -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "lepton.operator.name" -}}{{ include "lepton.fullname" . }}-operator{{- end -}}
{{- define "lepton.metrics.name" -}}{{ include "lepton.fullname" . }}-metrics{{- end -}}

{{- define "lepton.operator.serviceAccount" -}}
{{- default (include "lepton.operator.name" .) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{- define "lepton.metrics.serviceAccount" -}}
{{- default (include "lepton.metrics.name" .) .Values.metrics.serviceAccount.name -}}
{{- end -}}

{{- define "lepton.metrics.secret" -}}
{{- default (printf "%s-tls" (include "lepton.metrics.name" .)) .Values.metrics.tls.secretName -}}
{{- end -}}

{{/* Of the operator's or the metrics API's objects: (list $ "operator"). */}}
{{- define "lepton.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: lepton
app.kubernetes.io/instance: {{ $root.Release.Name | trunc 63 | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{- define "lepton.labels" -}}
{{- $root := first . -}}
{{ include "lepton.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{/* Reference of an image: (list $ image), whose tag is the chart's appVersion where it names none. */}}
{{- define "lepton.image" -}}
{{- $root := first . -}}{{- $image := last . -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $root.Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- define "lepton.pullSecretNames" -}}
{{- $names := list -}}
{{- range . -}}{{- $names = append $names .name -}}{{- end -}}
{{- join "," $names -}}
{{- end -}}
