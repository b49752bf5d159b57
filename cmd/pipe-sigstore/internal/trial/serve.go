package trial

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/digitorus/timestamp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

const maxBody = 1 << 20

func reply(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(body)
}

// serveToken answers as GitHub Actions does.
func (i *Instance) serveToken(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Authorization") != "Bearer "+Bearer || r.URL.Query().Get("audience") != "sigstore" {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return nil
	}
	token, err := i.Token(r.URL.Query().Get("who"), i.now())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]string{"value": token})
}

// serveCertificate answers as Fulcio does: the key must have signed the subject of the token.
func (i *Instance) serveCertificate(w http.ResponseWriter, r *http.Request) error {
	who, err := i.verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		return err
	}
	var in struct {
		Request struct {
			Key struct {
				Content string `json:"content"`
			} `json:"publicKey"`
			Proof []byte `json:"proofOfPossession"`
		} `json:"publicKeyRequest"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&in); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(in.Request.Key.Content))
	if block == nil {
		return errors.New("the key is not in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return err
	}
	subject := who.Subject
	if who.Email != "" {
		subject = who.Email
	}
	hash := sha256.Sum256([]byte(subject))
	if public, ok := key.(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(public, hash[:], in.Request.Proof) {
		return errors.New("the key has not signed the subject of the token")
	}
	log := i.certificates
	if i.Unlogged {
		log = nil
	}
	cert, err := i.authority.certify(who, key, i.now(), log)
	if err != nil {
		return err
	}
	var chain []string
	for _, c := range []*x509.Certificate{cert, i.authority.cert} {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	}
	return reply(w, http.StatusOK, map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

// serveEntry answers as version 1 of Rekor does.
func (i *Instance) serveEntry(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Kind string `json:"kind"`
		Spec struct {
			Content struct {
				Envelope  string   `json:"envelope"`
				Verifiers [][]byte `json:"verifiers"`
			} `json:"proposedContent"`
		} `json:"spec"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&in); err != nil {
		return err
	}
	var envelope dsse.Envelope
	if err := json.Unmarshal([]byte(in.Spec.Content.Envelope), &envelope); err != nil {
		return err
	}
	if in.Kind != "dsse" || len(in.Spec.Content.Verifiers) != 1 || len(envelope.Signatures) != 1 {
		return errors.New("want an envelope with one signature")
	}
	block, _ := pem.Decode(in.Spec.Content.Verifiers[0])
	if block == nil {
		return errors.New("want a certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(envelope.Signatures[0].Sig)
	if err != nil {
		return err
	}
	made, err := i.virtual.GenerateTlogEntry(cert, &envelope, signature, i.now().Unix(), true)
	if err != nil {
		return err
	}
	entry := made.TransparencyLogEntry()
	proof := entry.GetInclusionProof()
	hashes := []string{}
	for _, hash := range proof.GetHashes() {
		hashes = append(hashes, hex.EncodeToString(hash))
	}
	id := hex.EncodeToString(entry.GetLogId().GetKeyId())
	promise, err := i.virtual.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(entry.GetCanonicalizedBody()), IntegratedTime: entry.GetIntegratedTime(), LogIndex: entry.GetLogIndex(), LogID: id,
	})
	if err != nil {
		return err
	}
	w.Header().Set("ETag", id)
	return reply(w, http.StatusCreated, map[string]any{id: map[string]any{
		"body": entry.GetCanonicalizedBody(), "integratedTime": entry.GetIntegratedTime(), "logID": id, "logIndex": entry.GetLogIndex(),
		"verification": map[string]any{
			"signedEntryTimestamp": promise,
			"inclusionProof": map[string]any{
				"treeSize": proof.GetTreeSize(), "rootHash": hex.EncodeToString(proof.GetRootHash()), "logIndex": proof.GetLogIndex(),
				"hashes": hashes, "checkpoint": proof.GetCheckpoint().GetEnvelope(),
			},
		},
	}})
}

// serveTimestamp answers as a timestamp authority does (RFC 3161).
func (i *Instance) serveTimestamp(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return err
	}
	request, err := timestamp.ParseRequest(body)
	if err != nil {
		return err
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: request.HashAlgorithm, HashedMessage: request.HashedMessage, Time: i.now(),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, ExtraExtensions: request.Extensions,
	}
	answer, err := stamp.CreateResponseWithOpts(i.stamps.cert, i.stamps.key, crypto.SHA256)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(http.StatusCreated)
	_, err = io.Copy(w, bytes.NewReader(answer))
	return err
}
