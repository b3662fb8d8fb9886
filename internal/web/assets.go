package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
)

//go:embed assets
var assetFiles embed.FS

// assetPrefix is where Assets is to be mounted.
const assetPrefix = "/assets/"

// asset is one file, ready to be served.
type asset struct {
	url         string // /assets/<hash>-<name>
	contentType string
	content     []byte
}

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
}

// assets are the embedded files by name. A file that cannot be read or has an
// unknown type is left out, and the pages that name it fail their tests.
var assets = loadAssets()

func loadAssets() map[string]asset {
	loaded := map[string]asset{}
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		return loaded
	}
	for _, name := range names {
		content, err := assetFiles.ReadFile(name)
		contentType, known := contentTypes[path.Ext(name)]
		if err != nil || !known {
			continue
		}
		sum := sha256.Sum256(content)
		base := path.Base(name)
		loaded[base] = asset{
			url:         assetPrefix + hex.EncodeToString(sum[:8]) + "-" + base,
			contentType: contentType,
			content:     content,
		}
	}
	return loaded
}

// assetURL is the address of a file, for templates.
func assetURL(name string) (string, error) {
	a, ok := assets[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return a.url, nil
}

// Assets serves the pages' style sheet and icon at /assets/<hash>-name, to GET and
// HEAD. The hash is the content's, so browsers may keep a file for ever; an
// address with another hash is not found.
func Assets() http.Handler {
	mux := http.NewServeMux()
	for _, a := range assets {
		mux.HandleFunc("GET "+a.url, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", a.contentType)
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
			h.Set("X-Content-Type-Options", "nosniff")
			write(w, r, http.StatusOK, a.content)
		})
	}
	return mux
}
