{{/* The checks besides health. */}}
{{- define "service.probes" -}}
{{- with .Values.startup -}}
startupProbe:
  {{- include "service.probe" . | nindent 2 }}
  {{- with .initialDelaySeconds }}
  initialDelaySeconds: {{ . | toJson }}
  {{- end }}
  {{- $period := .periodSeconds | default 1 | int }}
  periodSeconds: {{ $period }}
  timeoutSeconds: {{ .timeoutSeconds | default 5 | toJson }}
  failureThreshold: {{ .failureThreshold | default (max 1 (div (sub (add ($.Values.startupSeconds | int) $period) 1) $period)) | toJson }}
{{- end }}
{{- if and .Values.liveness (not .Values.livenessProbe) }}
{{- with .Values.liveness }}
livenessProbe:
  {{- include "service.probe" . | nindent 2 }}
  {{- with .initialDelaySeconds }}
  initialDelaySeconds: {{ . | toJson }}
  {{- end }}
  periodSeconds: {{ .periodSeconds | default 10 | toJson }}
  timeoutSeconds: {{ .timeoutSeconds | default 5 | toJson }}
  failureThreshold: {{ .failureThreshold | default 3 | toJson }}
{{- end }}
{{- end }}
{{- end -}}
