// The program in the pods of the test: it says hello, looks up names, sends requests to others, and
// counts its starts in a file.
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
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Println(strings.Join(os.Args[1:], " "))
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		os.Exit(0)
	}()
	starts := filepath.Join("/data", "starts")
	f, err := os.OpenFile(starts, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(f, "start")
	f.Close()
	answer := func(path string, f func(*http.Request) (string, error)) {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			text, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			fmt.Fprint(w, text)
		})
	}
	answer("/{$}", func(*http.Request) (string, error) { return "hello", nil })
	answer("/starts", func(*http.Request) (string, error) {
		b, err := os.ReadFile(starts)
		return fmt.Sprint(bytes.Count(b, []byte("\n"))), err
	})
	answer("/lookup", func(r *http.Request) (string, error) {
		ips, err := net.DefaultResolver.LookupHost(r.Context(), r.FormValue("name"))
		return strings.Join(ips, " "), err
	})
	answer("/get", func(r *http.Request) (string, error) {
		resp, err := http.Get(r.FormValue("url"))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		return b.String(), err
	})
	fmt.Println("listening")
	log.Fatal(http.ListenAndServe(":80", nil)) // as an ordinary user
}
