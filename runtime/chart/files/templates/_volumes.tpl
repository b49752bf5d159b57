{{/* Claims that are not of this chart, and empty directories. */}}
{{- define "service.otherMounts" -}}
{{- range $claim := .Values.claims }}
{{- range .mounts }}
- name: {{ $claim.name | quote }}
  mountPath: {{ .path | quote }}
  {{- if .readOnly }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end }}
{{- range .Values.scratch }}
- name: {{ .name | quote }}
  mountPath: {{ .path | quote }}
{{- end }}
{{- end -}}

{{- define "service.otherVolumes" -}}
{{- range .Values.claims }}
- name: {{ .name | quote }}
  persistentVolumeClaim:
    claimName: {{ .claim | quote }}
{{- end }}
{{- range .Values.scratch }}
- name: {{ .name | quote }}
  {{- if or .memory .size }}
  emptyDir:
    {{- if .memory }}
    medium: Memory
    {{- end }}
    {{- with .size }}
    sizeLimit: {{ . | quote }}
    {{- end }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- end -}}
