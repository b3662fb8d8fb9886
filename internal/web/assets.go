package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
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
	".css":         "text/css; charset=utf-8",
	".svg":         "image/svg+xml",
	".webmanifest": "application/manifest+json",
}

// assets are the embedded files by name. They are part of the program: should one
// be unreadable, every page says so through assetURL.
var assets, errAssets = loadAssets()

func loadAssets() (map[string]asset, error) {
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		return nil, fmt.Errorf("list assets: %w", err)
	}
	loaded := map[string]asset{}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(path.Ext(a), path.Ext(b)) }) // manifests name icons, and come last
	for _, name := range names {
		content, err := assetFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read asset: %w", err)
		}
		contentType, known := contentTypes[path.Ext(name)]
		if !known {
			return nil, fmt.Errorf("asset %s has no content type; add it to contentTypes", name)
		}
		if path.Ext(name) == ".webmanifest" {
			content = bytes.ReplaceAll(content, []byte("/icon.svg"), []byte(loaded["icon.svg"].url))
		}
		sum := sha256.Sum256(content)
		base := path.Base(name)
		loaded[base] = asset{
			url:         assetPrefix + hex.EncodeToString(sum[:8]) + "-" + base,
			contentType: contentType,
			content:     content,
		}
	}
	return loaded, nil
}

// assetURL is the address of a file, for templates.
func assetURL(name string) (string, error) {
	a, ok := assets[name]
	if !ok {
		return "", errors.Join(fmt.Errorf("there is no asset %q", name), errAssets)
	}
	return a.url, nil
}

// Assets serves the pages' style sheet, icon and manifest at /assets/<hash>-name, to GET and
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
