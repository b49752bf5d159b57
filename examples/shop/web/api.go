package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// A Good is something to buy, as the API has it.
type Good struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Cents       int    `json:"cents"`
	Stock       int    `json:"stock"`
}

// Price returns the price as text.
func (g Good) Price() string { return fmt.Sprintf("€ %d.%02d", g.Cents/100, g.Cents%100) }

// A client asks the API.
type client struct {
	url, key string
	http     *http.Client
}

func (c *client) goods(ctx context.Context) ([]Good, error) {
	var goods []Good
	err := c.ask(ctx, http.MethodGet, "/goods", &goods)
	return goods, err
}

func (c *client) visit(ctx context.Context) (int64, error) {
	var count struct {
		Visits int64 `json:"visits"`
	}
	err := c.ask(ctx, http.MethodPost, "/visits", &count)
	return count.Visits, err
}

func (c *client) ask(ctx context.Context, method, path string, value any) error {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(value); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
