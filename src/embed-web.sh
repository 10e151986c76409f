#!/bin/sh
# Embeds the web pages: src/embed-web.sh FILE... > module.sql   (make runs it)
#
# wacta_http.asset('page.html') returns web/page.html.  The pages stay files that
# a person edits and a browser opens; the extension needs no file at run time.
set -eu

# unused_tag FILE: the name of a dollar quote that does not occur in the file.
unused_tag() {
	tag=web
	while grep -qF "\$${tag}\$" "$1"; do
		tag=${tag}_
	done
	echo "$tag"
}

echo '-- Made from web/ by src/embed-web.sh: edit the pages, not this.'
echo 'CREATE FUNCTION wacta_http.asset(name text) RETURNS text'
echo 'LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp'
printf "AS \$asset\$\nBEGIN\n  RETURN CASE name\n"
for file in "$@"; do
	tag=$(unused_tag "$file")
	printf "  WHEN '%s' THEN \$%s\$" "$(basename "$file")" "$tag"
	cat "$file"
	printf "\$%s\$\n" "$tag"
done
printf "  END;\nEND\n\$asset\$;\n"
echo "COMMENT ON FUNCTION wacta_http.asset(text) IS 'A page, style or script of web/, as it was when the extension was built.';"
