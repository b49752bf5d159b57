{{/* The containers of a pod besides the first one: those of init, and sidecars. */}}

{{/* Whether the cluster has native sidecars: init containers that run as long as the pod, and do not keep it from ending. */}}
{{- define "service.nativeSidecars" -}}
{{- if semverCompare ">=1.29-0" .Capabilities.KubeVersion.Version -}}
true
{{- end -}}
{{- end -}}

{{/* The init containers. Native sidecars are started after the others, as sidecars are elsewhere. What is given besides: job. */}}
{{- define "service.initContainers" -}}
{{- $native := include "service.nativeSidecars" .root -}}
{{- if and .job .root.Values.sidecars (not $native) -}}
{{- fail (printf "%s is a job with sidecars, which would keep it from ending: that needs Kubernetes 1.29 or later, and the cluster has %s" .root.Chart.Name .root.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- $list := list -}}
{{- range .root.Values.init -}}
{{- $list = append $list (include "service.container" (dict "root" $.root "of" .)) -}}
{{- end -}}
{{- if $native -}}
{{- range .root.Values.sidecars -}}
{{- $list = append $list (include "service.container" (dict "root" $.root "of" . "native" true)) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $list -}}
{{- end -}}

{{/* The sidecars, where the cluster has no native ones. */}}
{{- define "service.sidecars" -}}
{{- $list := list -}}
{{- if not (include "service.nativeSidecars" .) -}}
{{- range .Values.sidecars -}}
{{- $list = append $list (include "service.container" (dict "root" $ "of" .)) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $list -}}
{{- end -}}

{{- define "service.container" -}}
- name: {{ .of.name | quote }}
  image: {{ required (printf "an image is needed: set images.%s" .of.name) (get (.root.Values.images | default dict) .of.name) | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy | quote }}
  {{- if .native }}
  restartPolicy: Always
  {{- end }}
  {{- with .of.command }}
  command:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .of.args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .of.env }}
  env:
    {{- include "service.env" . | nindent 4 }}
  {{- end }}
  {{- with .of.health }}
  {{- include "service.healthProbes" (dict "health" . "root" $.root) | nindent 2 }}
  {{- end }}
  {{- with .of.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $mounts := list }}
  {{- if .of.mounts }}
  {{- range fromYamlArray (include "service.mounts" .root) }}
  {{- if has .mountPath $.of.mounts }}
  {{- $mounts = append $mounts . }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with $mounts }}
  volumeMounts:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
