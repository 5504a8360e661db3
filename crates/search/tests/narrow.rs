//! An expansion that a budget made smaller is filled up, so that a tree does not end with most of the budget left.

use surefoot_search::config::{Config, Mcts};
use surefoot_search::{Ask, Budget, Child, Finish, Limit, Search};

#[test]
fn an_expansion_that_the_budget_narrowed_is_filled_up() {
    let config = Config::Mcts(Mcts::default());
    let budget = Budget {
        policy_tokens: Some(3000),
        ..Budget::default()
    };
    let mut search = Search::new(config, budget).unwrap();
    let mut texts = 0;
    let outcome = loop {
        match search.ask(usize::MAX, 0) {
            Ask::Done(outcome) => break outcome,
            Ask::Wait => panic!("nothing is out"),
            Ask::Requests(requests) => {
                for request in requests {
                    let children: Vec<Child> = (0..request.count)
                        .map(|_| {
                            texts += 1;
                            Child {
                                policy_tokens: 10.min(request.caps.policy_tokens),
                                prm_tokens: 10,
                                steps: 1,
                                scores: vec![0.5],
                                ended: search.tree().depth(request.node) == 3,
                                text: Some(texts),
                                ..Child::default()
                            }
                        })
                        .collect();
                    search.tell(request.id, &children).unwrap();
                }
            }
        }
    };
    // 512 tokens are reserved for each continuation of 10, so none of the four fits beside three others at the end.
    assert_eq!(
        (outcome.finish, outcome.limit),
        (Finish::Budget, Some(Limit::PolicyTokens))
    );
    assert!(outcome.spent.policy_tokens > 2500, "{}", outcome.spent.policy_tokens);
}
