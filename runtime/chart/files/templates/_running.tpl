{{/* What runs in a container before it is told to end. */}}
{{- define "service.lifecycle" -}}
lifecycle:
  preStop:
    {{- include "service.probe" .Values.preStop | nindent 4 }}
{{- end -}}

{{/* Over what pods are distributed. */}}
{{- define "service.spread" -}}
topologySpreadConstraints:
  {{- range .Values.spread }}
  - maxSkew: 1
    topologyKey: {{ .over | quote }}
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (.required | default false) }}
    labelSelector:
      matchLabels:
        {{- include "service.selector" $ | nindent 8 }}
    {{- if not $.Values.daemon }}
    # Only pods of one revision are counted, so that a new one is distributed by itself.
    matchLabelKeys:
      - pod-template-hash
    {{- end }}
  {{- end }}
{{- end -}}
