{{/* A pod. What is given besides: restartPolicy. */}}
{{- define "service.pod" -}}
{{- $root := .root -}}
{{- with .root -}}
metadata:
  labels:
    {{- include "service.podLabels" . | nindent 4 }}
  {{- $annotations := .Values.podAnnotations | default dict }}
  {{- with ((.Values.global).pipe).secrets }}
  {{- /* Pods that use a secret are replaced when its value changes. */}}
  {{- $annotations = merge (dict "checksum/secrets" .) $annotations }}
  {{- end }}
  {{- with .Values.files }}
  {{- /* So are pods that have files. */}}
  {{- $annotations = merge (dict "checksum/files" (toJson . | sha256sum)) $annotations }}
  {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "service.account" . | quote }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
  # Variables for every service of the namespace would get between those of env.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.restartPolicy }}
  restartPolicy: {{ . | quote }}
  {{- end }}
  {{- with .Values.terminationGracePeriodSeconds }}
  terminationGracePeriodSeconds: {{ . | toJson }}
  {{- end }}
  {{- if or .Values.init .Values.sidecars }}
  {{- with include "service.initContainers" (dict "root" . "job" $.restartPolicy) }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: {{ .Chart.Name | quote }}
      image: {{ include "service.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
      {{- with .Values.command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.env }}
      env:
        {{- include "service.env" . | nindent 8 }}
      {{- end }}
      {{- with .Values.ports }}
      ports:
        {{- range . }}
        - name: {{ .name | quote }}
          containerPort: {{ .number | toJson }}
          protocol: {{ .protocol | default "TCP" | quote }}
        {{- end }}
      {{- end }}
      {{- with .Values.health }}
      {{- if not $.restartPolicy }}
      {{- include "service.healthProbes" (dict "health" . "root" $root "started" $root.Values.startup) | nindent 6 }}
      {{- end }}
      {{- end }}
      {{- if or .Values.startup .Values.liveness }}
      {{- include "service.probes" . | trim | nindent 6 }}
      {{- end }}
      {{- with .Values.livenessProbe }}
      livenessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .Values.preStop }}
      {{- include "service.lifecycle" . | nindent 6 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with include "service.mounts" . }}
      volumeMounts:
        {{- . | nindent 8 }}
      {{- end }}
    {{- if .Values.sidecars }}
    {{- with include "service.sidecars" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- with include "service.volumes" . }}
  volumes:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.spread }}
  {{- include "service.spread" . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* What is mounted into the first container, and the volumes of the pod. */}}
{{- define "service.mounts" -}}
{{- $list := list -}}
{{- range .Values.volumes -}}
{{- $list = append $list (include "service.mount" .) -}}
{{- end -}}
{{- if or .Values.claims .Values.scratch -}}
{{- $list = append $list (include "service.otherMounts" . | trim) -}}
{{- end -}}
{{- if .Values.files -}}
{{- $list = append $list (include "service.filesMounts" . | trim) -}}
{{- end -}}
{{- join "\n" $list -}}
{{- end -}}

{{- define "service.mount" -}}
- name: {{ .name | quote }}
  mountPath: {{ .path | quote }}
  {{- with .subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end -}}

{{/* Not empty if only the pods of one node can mount what the pod mounts. */}}
{{- define "service.exclusive" -}}
{{- range concat (.Values.volumes | default list) (.Values.claims | default list) -}}
{{- if hasPrefix "ReadWriteOnce" (.access | default "ReadWriteOnce") -}}
{{ .name }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "service.volumes" -}}
{{- $list := list -}}
{{- range .Values.volumes -}}
{{- $list = append $list (include "service.claim" (dict "name" .name "claim" (printf "%s-%s" $.Release.Name .name))) -}}
{{- end -}}
{{- if or .Values.claims .Values.scratch -}}
{{- $list = append $list (include "service.otherVolumes" . | trim) -}}
{{- end -}}
{{- if .Values.files -}}
{{- $list = append $list (include "service.filesVolume" .) -}}
{{- end -}}
{{- join "\n" $list -}}
{{- end -}}

{{/* The variables of a container. */}}
{{- define "service.env" -}}
{{- $list := list -}}
{{- range . -}}
{{- $list = append $list (include "service.variable" .) -}}
{{- end -}}
{{- join "\n" $list -}}
{{- end -}}

{{- define "service.claim" -}}
- name: {{ .name | quote }}
  persistentVolumeClaim:
    claimName: {{ .claim | quote }}
{{- end -}}

{{- define "service.variable" -}}
- name: {{ .name | quote }}
  {{- if .secret }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret.name | quote }}
      key: {{ .secret.key | quote }}
  {{- else if .config }}
  valueFrom:
    configMapKeyRef:
      name: {{ .config.name | quote }}
      key: {{ .config.key | quote }}
  {{- else if .field }}
  valueFrom:
    {{- if regexMatch "^(limits|requests)[.]" .field }}
    resourceFieldRef:
      resource: {{ .field | quote }}
    {{- else }}
    fieldRef:
      fieldPath: {{ .field | quote }}
    {{- end }}
  {{- else }}
  value: {{ .value | default "" | quote }}
  {{- end }}
{{- end -}}

{{/* The probes of a health check. */}}
{{- define "service.healthProbes" -}}
{{- if not .started -}}
# Until the first success it is asked every second, afterwards less often.
startupProbe:
  {{- include "service.probe" .health | nindent 2 }}
  {{- with .health.initialDelaySeconds }}
  initialDelaySeconds: {{ . | toJson }}
  {{- end }}
  periodSeconds: 1
  timeoutSeconds: {{ .health.timeoutSeconds | default 5 | toJson }}
  failureThreshold: {{ .root.Values.startupSeconds | default 600 | toJson }}
{{ end -}}
readinessProbe:
  {{- include "service.probe" .health | nindent 2 }}
  {{- if and .health.initialDelaySeconds .started }}
  initialDelaySeconds: {{ .health.initialDelaySeconds | toJson }}
  {{- end }}
  periodSeconds: {{ .health.periodSeconds | default 5 | toJson }}
  timeoutSeconds: {{ .health.timeoutSeconds | default 5 | toJson }}
  failureThreshold: {{ .health.failureThreshold | default 3 | toJson }}
{{- end -}}

{{- define "service.probe" -}}
{{- if eq .kind "http" -}}
httpGet:
  path: {{ .path | quote }}
  port: {{ .port | toJson }}
  {{- with .headers }}
  httpHeaders:
    {{- range $name, $value := . }}
    - name: {{ $name | quote }}
      value: {{ $value | quote }}
    {{- end }}
  {{- end }}
{{- else if eq .kind "tcp" -}}
tcpSocket:
  port: {{ .port | toJson }}
{{- else if eq .kind "grpc" -}}
grpc:
  port: {{ .port | toJson }}
  {{- with .service }}
  service: {{ . | quote }}
  {{- end }}
{{- else -}}
exec:
  command:
    {{- toYaml .command | nindent 4 }}
{{- end -}}
{{- end -}}
