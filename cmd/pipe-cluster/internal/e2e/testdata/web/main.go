// The program in the pods of the test: it tells its name, looks up names, and counts its starts in a file.
package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		fmt.Println("ended when asked to")
		os.Exit(0)
	}()
	if dir := os.Getenv("DATA"); dir != "" {
		f, err := os.OpenFile(filepath.Join(dir, "starts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintln(f, "start")
		f.Close()
		http.HandleFunc("/starts", func(w http.ResponseWriter, _ *http.Request) {
			b, err := os.ReadFile(filepath.Join(dir, "starts"))
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			fmt.Fprint(w, bytes.Count(b, []byte("\n")))
		})
	}
	http.HandleFunc("/lookup", func(w http.ResponseWriter, r *http.Request) {
		ips, err := net.DefaultResolver.LookupHost(r.Context(), r.URL.Query().Get("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, ips)
	})
	http.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Get(r.URL.Query().Get("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		fmt.Fprint(w, b.String())
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprint(w, "hello from ", name)
	})
	fmt.Println("listening")
	log.Fatal(http.ListenAndServe(":8080", nil))
}
