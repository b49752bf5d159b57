package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// Signatures sign images, and verify signatures (I15, I16).
type Signatures interface {
	// Signer returns the one who Sign signs as: the public half of the key, or the identity. If
	// the secret of the key is not found, or the environment cannot prove the identity, the error
	// is ErrNotFound; the identity is known nevertheless.
	Signer(ctx context.Context, with plan.Signing) (plan.Signers, error)
	// Sign signs the image at ref, which names it by digest, unless it has a signature of the
	// signer. It keeps other signatures.
	Sign(ctx context.Context, with plan.Signing, ref string, emit Emit) error
	// Verify returns nil if the image at ref, which names it by digest, has a signature of one
	// of the signers. Signatures are read beside the image and, if src is not empty, beside the
	// image of that name that it is a copy of. If there is none, the error is an *UnsignedError.
	Verify(ctx context.Context, ref, src string, by plan.Signers) error
}

// An UnsignedError means that an image has no signature of one of the signers.
type UnsignedError struct {
	Image string
	Found []string // why signatures that were found do not count; none: no signature was found
}

func (e *UnsignedError) Error() string {
	if len(e.Found) == 0 {
		return e.Image + " has no signature"
	}
	return e.Image + " has no valid signature: " + strings.Join(e.Found, "; ")
}

// errNoSignatures is the error of a plan with sign= or verify= in a runtime without Signatures.
var errNoSignatures = errors.New("this runtime cannot sign images or verify signatures")

// findSigner returns the task that looks up who sign= signs as. The lookups of the images
// that are built come after it. It returns nil if the plan signs or builds nothing.
func (r *run) findSigner() *sched.Task {
	sign := r.scope.plan.Pipeline.Sign
	if sign == nil || !slices.ContainsFunc(r.images, func(im *image) bool { return im.build != nil }) {
		return nil
	}
	return &sched.Task{Name: "find who signs images", Do: func(ctx context.Context) error {
		if r.Signatures == nil {
			r.signerErr = errNoSignatures
			return nil
		}
		var err error
		r.signer, err = r.Signatures.Signer(ctx, *sign)
		if err == nil || errors.Is(err, ErrNotFound) && r.track == nil { // a preview signs nothing
			for _, im := range r.images {
				if im.build != nil {
					im.signer = r.signer.String()
				}
			}
			return nil
		}
		if sign.Keyless != nil {
			r.signerErr = fmt.Errorf("%s: the images cannot be signed: %w", sign.Pos, err)
			return nil
		}
		do := "give the key with --secrets, or write sign = … only for the environments whose runs have it"
		if !errors.Is(err, ErrNotFound) {
			do = "correct the key, or its password, where --secrets finds it"
		}
		if _, known := AdviceOf(err); !known { // such as that of a secret manager
			err = Advise(err, Advice{Do: do})
		}
		r.signerErr = fmt.Errorf("%s: the key of sign=: %w", sign.Pos, err)
		return nil
	}}
}

// resolveBuilt returns the digest of the image of a build in the registry. If the run signs
// images, an image without a signature of its signer counts as missing: everyone who can write to
// the registry could have put it there.
func (r *run) resolveBuilt(ctx context.Context, im *image) (plan.Digest, error) {
	digest, err := r.Registry.Resolve(ctx, im.ref)
	if err != nil || r.signer.None() {
		return digest, err
	}
	err = r.Signatures.Verify(ctx, ByDigest(im.ref, digest), "", r.signer)
	var unsigned *UnsignedError
	if errors.As(err, &unsigned) {
		im.unsigned = true
		return "", fmt.Errorf("a signed image %s: %w", im.ref, ErrNotFound)
	}
	return digest, err
}

// sign signs an image that was just built.
func (r *run) sign(ctx context.Context, im *image, digest plan.Digest, emit Emit) error {
	if r.signer.None() {
		return nil
	}
	if err := r.Signatures.Sign(ctx, *r.scope.plan.Pipeline.Sign, ByDigest(im.ref, digest), emit); err != nil {
		return fmt.Errorf("sign %s: %w", im.source(), err)
	}
	return nil
}

// makeSigned builds an image and signs it.
func (r *run) makeSigned(ctx context.Context, im *image, emit Emit) (plan.Digest, error) {
	digest, err := r.Builder.Build(ctx, im.spec(), im.ref, emit)
	if err == nil {
		err = r.sign(ctx, im, digest, emit)
	}
	return digest, err
}

// verify returns an error if an image does not have the signatures that the plan requires (I16).
// It does nothing if the digest of the image is not known yet, or was verified before.
func (r *run) verify(ctx context.Context, im *image) error {
	if im.byDigest == "" || im.verified == im.byDigest {
		return nil
	}
	for _, rule := range r.rules(im) {
		if err := r.verifyBy(ctx, im, rule); err != nil {
			return err
		}
	}
	im.verified = im.byDigest
	return nil
}

// rules returns the rules about signatures that cover an image, by the name that it has in its
// own registry.
func (r *run) rules(im *image) []plan.SignatureRule {
	name := cmp.Or(im.mirror+im.external, im.ref, im.given)
	return slices.DeleteFunc(slices.Clone(r.scope.plan.Pipeline.Verify), func(rule plan.SignatureRule) bool { return !rule.Covers(name) })
}

// required adds to err the position of the rule that requires a signature, and what to do.
func required(rule plan.SignatureRule, err error, do string) error {
	return Advise(fmt.Errorf("%w; signed() at %s requires one", err, rule.Pos), Advice{Do: do})
}

// deployOther says what to do with an image that no signer of a rule has signed.
func deployOther(rule plan.SignatureRule) string {
	switch {
	case len(rule.Identities) == 0:
		return "deploy an image that one of the keys has signed, or add the key of its signer to the rule"
	case len(rule.Keys) == 0:
		return "deploy an image that an identity of the rule has signed, or add the identity of its signer to the rule"
	}
	return "deploy an image that a key or an identity of the rule has signed, or add its signer to the rule"
}

func (r *run) verifyBy(ctx context.Context, im *image, rule plan.SignatureRule) error {
	if r.Signatures == nil {
		return errNoSignatures
	}
	if !strings.Contains(im.byDigest, "@") {
		return required(rule, fmt.Errorf("the signatures of %s cannot be verified, because its digest is not known: %w", im.byDigest, im.unasked), "name the image by its digest, or let pipe reach its registry")
	}
	err := r.Signatures.Verify(ctx, im.byDigest, im.mirror, rule.Signers())
	var unsigned *UnsignedError
	switch {
	case errors.As(err, &unsigned):
		if im.mirror+im.external != "" {
			_, _, digest := plan.CutImage(im.byDigest)
			unsigned.Image = fmt.Sprintf("%s (%s)", im.mirror+im.external, digest)
		}
		return required(rule, unsigned, deployOther(rule))
	case err != nil:
		return fmt.Errorf("verify the signatures of %s, which signed() at %s requires: %w", im.source(), rule.Pos, err)
	}
	return nil
}

// foreseeUnsigned finds the images that would be built without a signature that the plan
// requires, before anything is written.
func (r *run) foreseeUnsigned() {
	sign := r.scope.plan.Pipeline.Sign
	for _, im := range r.images {
		if im.there || im.err != nil || im.build == nil {
			continue
		}
		for _, rule := range r.rules(im) {
			switch {
			case sign == nil:
				im.err = required(rule, fmt.Errorf("%s would be built without a signature", im.source()), "sign it, with sign = signing_key(…) or keyless(…) of pipeline(), or deploy what another run has built and signed")
			case r.signer.None() || rule.Signers().Covers(r.signer):
			case sign.Keyless != nil:
				im.err = required(rule, fmt.Errorf("%s would be signed by %s, the identity of %s, which the rule does not accept", im.source(), sign.Keyless.Name, sign.Pos), "write identity= and issuer= of sign= into the rule, and the same trusted_root=")
			default:
				im.err = required(rule, fmt.Errorf("%s would be signed by the key of %s, which is not one of the rule", im.source(), sign.Pos), "add the public key of sign= to the keys of the rule")
			}
		}
		for _, s := range im.services {
			if im.err != nil && s.err == nil {
				s.err = &ImagesError{[]ImageFailure{s.imageFailure(im, im.err)}}
			}
		}
	}
}
