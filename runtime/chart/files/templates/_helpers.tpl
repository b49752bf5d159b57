{{/* The image, by digest where one is known. */}}
{{- define "service.image" -}}
{{- with .Values.image -}}
{{- if .reference -}}
{{ .reference }}
{{- else -}}
{{ required "an image is needed: set image.reference, or image.repository and image.tag" .repository }}
{{- if .digest }}@{{ .digest }}{{ else if .tag }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What pods are selected by. It can never change. */}}
{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of pods: nothing in here may change from one deploy to the next without need, or pods restart. */}}
{{- define "service.podLabels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- with ((.Values.global).pipe).pipeline }}
app.kubernetes.io/part-of: {{ . | quote }}
{{- end }}
{{- with omit (.Values.labels | default dict) "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of" }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "service.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{ include "service.podLabels" . }}
{{- end -}}

{{- define "service.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}
