{{- define "fovea.labels" -}}
app.kubernetes.io/name: fovea
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "fovea.selector" -}}
app.kubernetes.io/name: fovea
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fovea.redisSelector" -}}
app.kubernetes.io/name: redis
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* the names of a release called fovea are those of the kustomize base */ -}}
{{- define "fovea.redis" -}}
{{ if eq .Release.Name "fovea" }}redis{{ else }}{{ .Release.Name }}-redis{{ end }}
{{- end }}
