{{/* The files of the container are in one volume, at the paths that they have in the container. */}}
{{- define "service.filesVolume" -}}
- name: "pipe-files"
  projected:
    sources:
      {{- with include "service.fileItems" . | trim }}
      - configMap:
          name: {{ printf "%s-files" $.Release.Name | quote }}
          items:
            {{- . | nindent 12 }}
      {{- end }}
      {{- range .Values.files }}
      {{- if .secret }}
      - secret:
          name: {{ .secret.name | quote }}
          items:
            - key: {{ .secret.key | quote }}
              path: {{ trimPrefix "/" .path | quote }}
              {{- include "service.fileMode" . | nindent 14 }}
      {{- end }}
      {{- end }}
{{- end -}}

{{- define "service.fileItems" -}}
{{- range .Values.files }}
{{- if not .secret }}
- key: {{ include "service.fileKey" . | quote }}
  path: {{ trimPrefix "/" .path | quote }}
  {{- include "service.fileMode" . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Kubernetes has the permissions as a decimal number. */}}
{{- define "service.fileMode" -}}
{{- $mode := 0 -}}
{{- range splitList "" (.mode | default "0644") -}}
{{- $mode = add (mul $mode 8) (atoi .) -}}
{{- end -}}
mode: {{ $mode }}
{{- end -}}

{{/* The key of a file in the ConfigMap: its name, and its path in short, as keys have no slashes. */}}
{{- define "service.fileKey" -}}
{{ printf "%s-%s" (sha256sum .path | trunc 8) (regexReplaceAll "[^-._a-zA-Z0-9]" (base .path) "_") }}
{{- end -}}

{{/* A file is mounted by itself, or with its directory. */}}
{{- define "service.filesMounts" -}}
{{- $seen := dict -}}
{{- range .Values.files }}
{{- $at := .dir | default .path }}
{{- if not (hasKey $seen $at) }}
{{- $_ := set $seen $at true }}
- name: "pipe-files"
  mountPath: {{ $at | quote }}
  subPath: {{ trimPrefix "/" $at | quote }}
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}
