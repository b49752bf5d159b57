{{/* Patches of objects. An operation has a path, of keys and of elements of lists, and a value, or delete. */}}

{{/* Carries out an operation on a map: what is given is the map, the path in it, the operation and what it is called. */}}
{{- define "service.patch" -}}
{{- $key := first .path -}}
{{- $rest := rest .path -}}
{{- if and .op.must (not (hasKey .map $key)) -}}
{{- fail (printf "%s: %s is not there" .what $key) -}}
{{- end -}}
{{- if empty $rest -}}
{{- if .op.test -}}
{{- if ne (toJson (get .map $key)) (toJson .op.value) -}}
{{- fail (printf "%s: %s is %s, not %s" .what $key (toJson (get .map $key)) (toJson .op.value)) -}}
{{- end -}}
{{- else if .op.delete -}}
{{- $_ := unset .map $key -}}
{{- else if not (and .op.keep (hasKey .map $key)) -}}
{{- $_ := set .map $key .op.value -}}
{{- end -}}
{{- else if kindIs "string" (first $rest) -}}
{{- if not (kindIs "map" (get .map $key)) -}}
{{- if not .op.delete -}}
{{- $_ := set .map $key dict -}}
{{- end -}}
{{- end -}}
{{- if kindIs "map" (get .map $key) -}}
{{- include "service.patch" (dict "map" (get .map $key) "path" $rest "op" .op "what" .what) -}}
{{- end -}}
{{- else -}}
{{- include "service.patchList" (dict "map" .map "key" $key "path" $rest "op" .op "what" .what) -}}
{{- end -}}
{{- end -}}

{{/* Carries out an operation on the list of a map, whose element the path begins with. */}}
{{- define "service.patchList" -}}
{{- $at := first .path -}}
{{- $rest := rest .path -}}
{{- $list := get .map .key | default list -}}
{{- $out := list -}}
{{- $found := false -}}
{{- range $i, $item := $list -}}
{{- $is := false -}}
{{- if $at.key -}}
{{- $is = eq (toString (get $item $at.key)) (toString $at.value) -}}
{{- else if not $at.end -}}
{{- $is = eq $i (int $at.index) -}}
{{- end -}}
{{- if not $is -}}
{{- $out = append $out $item -}}
{{- else -}}
{{- $found = true -}}
{{- if $rest -}}
{{- include "service.patch" (dict "map" $item "path" $rest "op" $.op "what" $.what) -}}
{{- $out = append $out $item -}}
{{- else if $.op.test -}}
{{- if ne (toJson $item) (toJson $.op.value) -}}
{{- fail (printf "%s: an element of %s is %s, not %s" $.what $.key (toJson $item) (toJson $.op.value)) -}}
{{- end -}}
{{- $out = append $out $item -}}
{{- else if $.op.insert -}}
{{- $out = append (append $out $.op.value) $item -}}
{{- else if not $.op.delete -}}
{{- $out = append $out $.op.value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- $end := or $at.end (and $.op.insert (eq (len $list) (int $at.index))) -}}
{{- if $end -}}
{{- $out = append $out $.op.value -}}
{{- else if not $at.key -}}
{{- fail (printf "%s: %s has no element %d" $.what $.key (int $at.index)) -}}
{{- else if not $.op.delete -}}
{{- $item := dict $at.key $at.value -}}
{{- if $rest -}}
{{- include "service.patch" (dict "map" $item "path" $rest "op" $.op "what" $.what) -}}
{{- end -}}
{{- $out = append $out $item -}}
{{- end -}}
{{- end -}}
{{- $_ := set .map .key $out -}}
{{- end -}}
